"""The metrics of one scan and one label: `registry` says what each is, the others compute them."""
