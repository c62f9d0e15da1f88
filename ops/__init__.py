"""Commands for people who deploy and operate a stack; each module's `main` is one command."""
