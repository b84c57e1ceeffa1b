"""The packager `pyz`: one executable file that any CPython from 3.11 on runs, with nothing to unpack."""
