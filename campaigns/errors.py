"""Errors a user can mend, and the few that mean a promise was broken.

OverdialError
├── UserError          wrong input: the message is one sentence with what, where and what to do
│   └── DatabaseError  Postgres cannot be reached, is too old, or holds another schema
└── LeaseLost          this process no longer owns what it wrote to; it must stop acting on it
"""

from __future__ import annotations


class OverdialError(Exception):
    """Base of every error this project raises on purpose."""


class UserError(OverdialError):
    """Wrong input; the message is shown as it is and the exit code is 2."""


class DatabaseError(UserError):
    """Postgres is unreachable, too old, or not ours."""


class LeaseLost(OverdialError):
    """Another process has taken over what this one held."""
