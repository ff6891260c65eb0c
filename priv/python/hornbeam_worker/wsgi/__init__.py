"""WSGI: what an application gets and gives, and the threads that it runs in (PEP 3333)."""
