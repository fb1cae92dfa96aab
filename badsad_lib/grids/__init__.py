"""What the workers of a grid run: one module a grid, importable wherever the library is.

Each has ``settings(...)``, which lists the runs of a table, and ``run(setting)``, which does one of
them and returns what it measured; most have ``summary(frame)``, what a table says in short. Where
runs share trained detectors, ``run`` takes a folder ``kept`` of them, one that all workers see;
without it nothing is kept, and each run trains what it needs.
:mod:`badsad_lib.grids.registry` knows them all by name: ``python -m badsad_lib grid NAME``.
"""
