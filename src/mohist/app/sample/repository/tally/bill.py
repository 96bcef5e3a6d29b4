"""One cost and the people who share it."""

from tally import money


class Bill:
    """A cost in cents, shared by weight."""

    def __init__(self, title, cents, weights):
        self.title = title
        self.cents = cents
        self.weights = dict(weights)

    def shares(self):
        """What each person owes, in cents, by name."""
        parts = money.split(self.cents, self.weights.values())
        return dict(zip(self.weights, parts))

    def lines(self):
        """A line for each person, and the total."""
        width = max(len(name) for name in self.weights)
        rows = [f"{name:<{width}}  {money.show(part):>12}" for name, part in self.shares().items()]
        return [self.title, *rows, f"{'total':<{width}}  {money.show(self.cents):>12}"]
