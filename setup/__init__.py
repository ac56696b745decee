"""Set-up of a fresh machine: system packages, virtual environment, SIP stack.

Everything here runs before any dependency is installed, so it uses the standard library only.
"""
