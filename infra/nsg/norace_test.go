//go:build !race

package nsg_test

const raceDetector = false
