"""What `make doctor` looks at, one module for each subject.

A check takes the stack and yields findings. It changes nothing.
"""
