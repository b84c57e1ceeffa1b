"""The native runtime as a command, `moby-runtime`: runc's command line, for engines that start a runtime's program.

The words of its errors, its files and its output are runc's where engines read them. Start-up time is most of what
a call costs, so a verb imports what it needs when it runs.
"""
