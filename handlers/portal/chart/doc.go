// Package chart draws who had which port open, and when, as places and sizes for a template: it asks nobody.
package chart
