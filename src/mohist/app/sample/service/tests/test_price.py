import unittest

from parcel.price import price


class PriceTest(unittest.TestCase):
    def test_heavier_parcels_cost_more(self) -> None:
        self.assertEqual([price(grams) for grams in (500, 501, 10000)], [490, 690, 1090])

    def test_no_parcel_without_weight_is_sent(self) -> None:
        with self.assertRaises(ValueError):
            price(0)


if __name__ == "__main__":
    unittest.main()
