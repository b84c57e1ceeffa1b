"""Network devices, addresses, routes and neighbours as rtnetlink(7) has them.

Changes are messages, which `moby.host.netlink.Channel.run` carries out, several at once. What is looked up comes as
values. A channel belongs to the network namespace in which it was opened (`moby.host.elsewhere`).
"""
