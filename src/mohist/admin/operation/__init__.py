"""The operations of the admin API, one module a resource. Each says in its declaration which role it needs."""
