"""How the service is put to work on other machines."""
