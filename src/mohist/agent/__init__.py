"""The turn loop and its tools: one agent working on one task, on the record.

Never decides whether a call may run (policy does), never confines (sandbox does), never shows anything
(front ends do, from events). It differs from delivery in that it knows one run and no requirement.
"""
