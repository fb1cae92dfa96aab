"""What the workers of a grid run: one module a grid, importable wherever the library is.

Each has ``settings(...)``, which lists the runs of a table, and ``run(setting)``, which does one
and returns what it measured; most have ``summary(frame)``, what a table says in short.
:mod:`badsad_lib.grids.registry` knows them all by name: ``python -m badsad_lib grid NAME``.
"""
