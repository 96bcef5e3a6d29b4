"""What can be told of a change by looking at it: its checks, its tests before and after, its dependencies, its licences.

Pure: texts in, values out. Never runs anything (`delivery.verify` does) and never blocks: it finds and shows.
"""
