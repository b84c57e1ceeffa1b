"""Networks over several hosts: Ethernet in UDP (VXLAN), led by what hosts tell each other in a store they share."""
