// Sends a mail within TLS: HOST PORT CA WAY.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/smtp"
	"os"
)

func main() {
	host, port, ca, way := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	pem, err := os.ReadFile(ca)
	if err == nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		err = send(host+":"+port, way, &tls.Config{ServerName: host, RootCAs: roots})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func connect(address, way string, config *tls.Config) (*smtp.Client, error) {
	if way == "implicit" {
		stream, err := tls.Dial("tcp", address, config)
		if err != nil {
			return nil, err
		}
		return smtp.NewClient(stream, config.ServerName)
	}
	client, err := smtp.Dial(address)
	if err != nil {
		return nil, err
	}
	return client, client.StartTLS(config)
}

func send(address, way string, config *tls.Config) error {
	client, err := connect(address, way, config)
	if err != nil {
		return err
	}
	if err = client.Mail("ann@example.com"); err != nil {
		return err
	}
	if err = client.Rcpt("bob@example.com"); err != nil {
		return err
	}
	data, err := client.Data()
	if err != nil {
		return err
	}
	if _, err = data.Write([]byte("Subject: hi\r\n\r\nhi\r\n")); err != nil {
		return err
	}
	if err = data.Close(); err != nil {
		return err
	}
	return client.Quit()
}
