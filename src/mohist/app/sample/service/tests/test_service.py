import unittest

from parcel.service import answer


class ServiceTest(unittest.TestCase):
    def test_it_tells_a_price(self) -> None:
        self.assertEqual(answer("/price?grams=900")[1]["price"], 690)

    def test_what_weighs_too_much_is_refused(self) -> None:
        self.assertEqual(answer("/price?grams=20000")[0], 400)

    def test_it_is_healthy_where_it_can_tell_a_price(self) -> None:
        self.assertEqual(answer("/health")[0], 200)


if __name__ == "__main__":
    unittest.main()
