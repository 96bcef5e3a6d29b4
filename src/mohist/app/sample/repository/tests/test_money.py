import unittest

from tally import money


class ParseTest(unittest.TestCase):
    def test_reads_amounts(self):
        self.assertEqual(money.parse("1,234.50"), 123450)
        self.assertEqual(money.parse("-0.05"), -5)

    def test_refuses_what_is_no_amount(self):
        for text in ("", "1.234", "ten", "1.-5"):
            with self.assertRaises(ValueError):
                money.parse(text)


class SplitTest(unittest.TestCase):
    def test_divides_by_weight(self):
        self.assertEqual(money.split(120000, [2, 1, 1]), [60000, 30000, 30000])

    def test_needs_a_weight(self):
        with self.assertRaises(ValueError):
            money.split(100, [0, 0])
