"""``onebyone bench``: layers measured against what a user would pick instead.

``arguments`` declares the command's options, ``command`` runs it. ``layers`` reads shapes,
``problem`` makes their data and the result they must have, ``engines`` holds one file per library,
``worker`` runs each in a process of its own, ``runner`` lets them take turns, ``results`` is what
comes out; ``table``, ``markdown``, ``plot``, ``compare`` and ``explain`` show it.

Importing this package imports nothing optional.
"""
