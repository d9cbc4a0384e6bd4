#!/usr/bin/env bash
# azservicebus (Go): with a port in the connection string, the certificate is checked against "host:port".
#
# Version: github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus v1.11.0.
# A server with TLS on another port than 5671, as a local broker or a tunnel has. One would expect the name without its
# port to be compared with the certificate, as HTTP clients do. Seen: the client dials the port as told, but sends and checks
# the text "localhost:PORT" as the server's name: "certificate is valid for localhost, not localhost:PORT". No certificate can
# hold such a name. ClientOptions.CustomEndpoint, or TLSConfig.ServerName, is the way round.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
go_program <<'GO'
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

func main() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	shaken := make(chan bool, 1)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			ok := connection.(*tls.Conn).Handshake() == nil
			if ok { // a byte of the client shows that it took the certificate
				_, err := connection.Read(make([]byte, 1))
				ok = err == nil
			}
			connection.Close()
			select {
			case shaken <- ok:
			default:
			}
		}
	}()
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	for _, name := range []string{"", "localhost"} {
		roots := x509.NewCertPool()
		roots.AddCert(certificate)
		client, err := azservicebus.NewClientFromConnectionString(
			fmt.Sprintf("Endpoint=sb://localhost:%d;SharedAccessKeyName=n;SharedAccessKey=a2V5", port), &azservicebus.ClientOptions{
				TLSConfig: &tls.Config{RootCAs: roots, ServerName: name}, RetryOptions: azservicebus.RetryOptions{MaxRetries: -1}})
		if err != nil {
			panic(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		sender, err := client.NewSender("queue", nil)
		if err != nil {
			panic(err)
		}
		err = sender.SendMessage(ctx, &azservicebus.Message{Body: []byte("x")}, nil)
		cancel()
		because := fmt.Sprintf("certificate is valid for localhost, not localhost:%d", port)
		fmt.Printf("taken %v, refused for its name %v; ", <-shaken, err != nil && strings.Contains(err.Error(), because))
	}
}
GO
expect "the certificate of localhost; and with ServerName localhost" \
  "taken false, refused for its name true; taken true, refused for its name false; " "$(go_run)"
