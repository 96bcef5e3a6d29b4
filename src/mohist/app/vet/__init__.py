"""`mohist vet`: examines a subject step by step and puts a report together.

Never says why a subject does something, and runs nothing of it but in the fence; `mohist.vet` holds the steps themselves.
"""
