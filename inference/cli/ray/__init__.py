"""What `segment` needs on a Ray cluster alone; nobody who stays on one machine imports it."""
