#!/bin/sh
# Creates new certificates for tls_test.ts in this folder. They secure nothing but tests on this machine.
set -eu
cd "$(dirname "$0")"
days=36500
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
authority() { # NAME
  key "$1.key"
  openssl req -x509 -new -key "$1.key" -days $days -subj "/CN=ChannelTS tests, $1" -out "$1.pem" \
    -addext "keyUsage=critical,keyCertSign,cRLSign"
}
certificate() { # NAME AUTHORITY EXTENSIONS
  key "$1.key"
  openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
  printf '%s\n' "$3" > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days $days \
    -extfile "$1.ext" -out "$1.pem"
  rm "$1.csr" "$1.ext"
}
authority ca
authority other-ca
certificate server ca "subjectAltName=DNS:localhost
extendedKeyUsage=serverAuth"
certificate client ca "extendedKeyUsage=clientAuth"
certificate stranger other-ca "extendedKeyUsage=clientAuth"
rm ca.key other-ca.key ./*.srl
