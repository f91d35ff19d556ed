mixed
