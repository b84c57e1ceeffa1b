"""What front ends share: how much has passed a container's interfaces."""
