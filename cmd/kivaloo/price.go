package main

import (
	"fmt"
	"strconv"

	"kivaloo/kvstore"
)

// A storagePrice is the original's flag -S: what keeping a gigabyte for a month
// costs, if a million I/Os cost 1. 0 switches cleaning off.
type storagePrice struct {
	price float64
}

// storagePriceMax is far beyond where a higher price changes anything.
const storagePriceMax = 1e6

func (p *storagePrice) Set(text string) error {
	price, err := strconv.ParseFloat(text, 64)
	if err != nil || !(price >= 0 && price <= storagePriceMax) {
		return fmt.Errorf("it must be a number from 0 to %.0f", float64(storagePriceMax))
	}
	p.price = price
	return nil
}

func (p *storagePrice) String() string { return strconv.FormatFloat(p.price, 'g', -1, 64) }

func (p *storagePrice) Type() string { return "PRICE" }

// option is the price as the engine's options have it: there 0 is the default.
func (p *storagePrice) option() float64 {
	if p.price == 0 {
		return kvstore.NoCleaning
	}
	return p.price
}
