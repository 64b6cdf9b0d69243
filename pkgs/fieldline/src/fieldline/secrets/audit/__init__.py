"""Whether the secrets of a host are where they belong, and nowhere else.

It runs on the host, as root.
"""
