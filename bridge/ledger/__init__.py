"""What is durable: a module for each table, with its rows and queries.

A function that takes a `Connection` is a part of its caller's transaction.
"""
