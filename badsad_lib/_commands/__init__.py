"""The subcommands of ``python -m badsad_lib``: one file each, and what they share.

Each has a function ``run(args)`` that does the work and a function ``add(subcommands)`` that
declares its arguments.
"""
