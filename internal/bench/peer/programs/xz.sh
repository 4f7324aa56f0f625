# What was packed must unpack to what it was.
xz -dc /tmp/data.xz | sha256sum | cut -c 1-16
