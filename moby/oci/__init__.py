"""The formats of the Open Container Initiative, as pure data: references, digests, images, layers, specs."""
