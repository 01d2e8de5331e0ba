"""Chat sessions with the web app's assistant, kept in the database."""
