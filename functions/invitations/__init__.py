"""Invites a user of Partoo again: once for each request, never twice within the window."""
