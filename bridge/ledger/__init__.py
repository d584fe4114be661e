"""What is durable: rows and queries, a module for each table, and for what several questions ask of one.

A function that takes a `Connection` is a part of its caller's transaction.
"""
