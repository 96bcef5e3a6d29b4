import unittest

from tally.bill import Bill


class BillTest(unittest.TestCase):
    def test_names_each_share(self):
        bill = Bill("Rent", 120000, {"ann": 2, "bob": 1, "cho": 1})
        self.assertEqual(bill.shares(), {"ann": 60000, "bob": 30000, "cho": 30000})

    def test_shares_add_up_to_the_bill(self):
        bill = Bill("Dinner", 10000, {"ann": 1, "bob": 1, "cho": 1})
        self.assertEqual(sum(bill.shares().values()), 10000)

    def test_prints_a_line_for_each_person(self):
        bill = Bill("Rent", 120000, {"ann": 1, "bob": 1})
        self.assertEqual(bill.lines()[-1], "total      1,200.00")
