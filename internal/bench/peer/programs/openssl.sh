# Digests and a cipher over a file; the key is no secret.
{
	openssl dgst -sha256 -binary /tmp/data
	openssl dgst -sha3-256 -binary /tmp/data
	openssl enc -aes-256-cbc -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 0f0e0d0c0b0a09080706050403020100 -in /tmp/data
} | openssl dgst -r -md5 | cut -c 1-16
