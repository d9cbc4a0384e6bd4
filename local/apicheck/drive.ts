// Drives the API with the types that openapi-typescript generates, through openapi-fetch: enable, request, list, revoke.
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const { APP = "", TOKEN = "", VM = "" } = process.env;
const client = createClient<paths>({ baseUrl: APP, headers: { Authorization: `Bearer ${TOKEN}` } });

const enabled = await client.POST("/api/enable", { body: { virtualMachines: [{ id: VM, ports: [{ number: 22, maxRequestAccessDuration: "PT3H" }] }] } });
if (enabled.data?.virtualMachines.length !== 1) throw new Error(`enable: ${JSON.stringify(enabled.error)}`);

const opened = await client.POST("/api/request", { body: { virtualMachines: [{ id: VM, ports: [{ number: 22, duration: "PT1H", allowedSourceAddressPrefix: "203.0.113.7" }] }] } });
const id = opened.data?.id;
if (!id || opened.data?.status !== "Initiated") throw new Error(`request: ${JSON.stringify(opened.error ?? opened.data)}`);

const listed = await client.GET("/api/requests", {});
if (listed.data?.value[0]?.id !== id) throw new Error(`list: ${JSON.stringify(listed.error ?? listed.data)}`);

const closed = await client.POST("/api/requests/{id}/revoke", { params: { path: { id } } });
if (closed.data?.status !== "Revoked") throw new Error(`revoke: ${JSON.stringify(closed.error ?? closed.data)}`);
console.log("typescript: enable, request, list, revoke");
