"""What the workers of a grid run: one module a grid, importable wherever the library is.

Each has ``settings(...)``, which lists the runs of a table, and ``run(setting)``, which does one
and returns what it measured. The scripts in ``benchmarks/`` hand both to
:func:`~badsad_lib.experiments.run_grid`.
"""
