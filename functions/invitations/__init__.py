"""Invites users of Partoo again: what the functions share."""
