"""What begins deliveries without a person at a terminal: schedules, signed requests, dropped files.

A trigger is data of the company's or the user's, never of a repository. What sets one off is a row before anything is begun,
under a key that exists once, so that no due time, request or file begins two deliveries. Nothing here decides at a gate.
"""
