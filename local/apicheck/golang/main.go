// Command golang drives the API with the client that oapi-codegen generates: enable, request, list, revoke.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"apicheck/client"
)

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	signed := client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
		return nil
	})
	c, err := client.NewClientWithResponses(os.Getenv("APP"), signed)
	check(err)
	source, length, maximum := "203.0.113.7", "PT1H", "PT3H"

	enabled, err := c.EnableWithResponse(ctx, &client.EnableParams{}, client.EnableBody{VirtualMachines: []client.EnableVMInput{{
		Id: os.Getenv("VM"), Ports: &[]client.PortRuleInput{{Number: 22, MaxRequestAccessDuration: &maximum}}}}})
	check(err)
	if enabled.JSON200 == nil || len(enabled.JSON200.VirtualMachines) != 1 {
		log.Fatalf("enable: %s %s", enabled.Status(), enabled.Body)
	}
	opened, err := c.RequestWithResponse(ctx, &client.RequestParams{}, client.RequestBody{VirtualMachines: []client.RequestVMInput{{
		Id: os.Getenv("VM"), Ports: []client.RequestPortInput{{Number: 22, Duration: &length, AllowedSourceAddressPrefix: &source}}}}})
	check(err)
	if opened.JSON200 == nil || opened.JSON200.Id == nil || opened.JSON200.Status != "Initiated" {
		log.Fatalf("request: %s %s", opened.Status(), opened.Body)
	}
	list, err := c.RequestsWithResponse(ctx, &client.RequestsParams{})
	check(err)
	if list.JSON200 == nil || len(list.JSON200.Value) == 0 || *list.JSON200.Value[0].Id != *opened.JSON200.Id {
		log.Fatalf("list: %s %s", list.Status(), list.Body)
	}
	closed, err := c.RevokeWithResponse(ctx, *opened.JSON200.Id, &client.RevokeParams{})
	check(err)
	if closed.JSON200 == nil || closed.JSON200.Status != "Revoked" {
		log.Fatalf("revoke: %s %s", closed.Status(), closed.Body)
	}
	again, err := c.RevokeWithResponse(ctx, *opened.JSON200.Id, &client.RevokeParams{})
	check(err)
	if again.StatusCode() != http.StatusOK && (again.JSON409 == nil || again.JSON409.Error.Code == "") {
		log.Fatalf("revoke again: %s %s", again.Status(), again.Body)
	}
	fmt.Println("go: enable, request, list, revoke")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
