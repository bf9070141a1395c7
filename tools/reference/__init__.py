"""The API reference: ``python -m tools.reference build/reference`` makes it of docstrings, by pydoctor.

`public` lists what it covers, `sources` prepares the sources for pydoctor, which reads no
Cython, and `model` says what a reference may lead to.
"""
