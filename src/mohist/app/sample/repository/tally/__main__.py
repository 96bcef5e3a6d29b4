"""`python3 -m tally TITLE AMOUNT NAME[=WEIGHT]…`"""

import sys

from tally import money
from tally.bill import Bill


def main(arguments):
    title, amount, *people = arguments
    weights = {}
    for person in people:
        name, _, weight = person.partition("=")
        weights[name] = int(weight or 1)
    print("\n".join(Bill(title, money.parse(amount), weights).lines()))


main(sys.argv[1:])
