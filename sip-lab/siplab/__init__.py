"""A telephone network in a box, on loopback only: carrier, people, voicemail, agent phones, probes.

Nothing here imports the dialer and the dialer imports nothing from here: they meet on the wire.
"""
