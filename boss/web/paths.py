"""Where the API's routes begin: one word that client and server share without importing one another."""

PREFIX = "/api/v1"
