"""The admin API: keys, budgets, usage, routes, rules and prices of a running gateway, for those who look after it.

Never takes part in a model call, and shows a secret but once, in the answer that makes it. It differs from gateway in
that it speaks about calls; gateway makes them. What it is built with is imported when its first request comes.
"""
