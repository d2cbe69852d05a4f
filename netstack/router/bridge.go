package router

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
)

// makeBridge makes the LAN's bridge and plugs its cards in. A bridge of that name
// that somebody else made is used as it is, and stays.
func (k *kernel) makeBridge(p plan) error {
	br, err := linkNamed(p.bridge)
	if isMissing(err) {
		if err := k.record.change(func(m *made) { m.Bridge = p.bridge }); err != nil {
			return err
		}
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: p.bridge}}); err != nil {
			return fmt.Errorf("making the bridge %s: %w", p.bridge, err)
		}
		br, err = linkNamed(p.bridge)
	}
	if err != nil {
		return err
	}
	if br.Type() != "bridge" {
		return fmt.Errorf("%s is a network card, not a bridge: choose another network.lan.name for the bridge of network.bridge", p.bridge)
	}
	var errs []error
	for _, card := range p.ports {
		errs = append(errs, k.plugIn(card, br))
	}
	return errors.Join(errs...)
}

func (k *kernel) plugIn(card string, br netlink.Link) error {
	link, err := linkNamed(card)
	if err != nil {
		return err
	}
	switch link.Attrs().MasterIndex {
	case br.Attrs().Index:
		return nil
	case 0:
	default:
		return fmt.Errorf("the card %s is in another bridge already", card)
	}
	if err := k.record.change(func(m *made) { m.Ports = append(m.Ports, card) }); err != nil {
		return err
	}
	if err := netlink.LinkSetMaster(link, br); err != nil {
		return fmt.Errorf("taking %s into the bridge %s: %w", card, br.Attrs().Name, err)
	}
	return nil
}

// dropPorts takes cards out of the bridge that are no longer wanted there.
func (k *kernel) dropPorts(p plan) error {
	var errs []error
	for _, card := range slices.Clone(k.record.made.Ports) {
		if slices.Contains(p.ports, card) && p.bridge == k.record.made.Bridge {
			continue
		}
		if link, err := linkNamed(card); err == nil {
			if err := netlink.LinkSetNoMaster(link); err != nil {
				errs = append(errs, fmt.Errorf("taking %s out of the bridge: %w", card, err))
				continue
			}
		}
		errs = append(errs, k.record.change(func(m *made) {
			m.Ports = slices.DeleteFunc(m.Ports, func(c string) bool { return c == card })
		}))
	}
	if old := k.record.made.Bridge; old != "" && old != p.bridge {
		if br, err := linkNamed(old); err == nil && br.Type() == "bridge" {
			if err := netlink.LinkDel(br); err != nil {
				return errors.Join(append(errs, fmt.Errorf("removing the bridge %s: %w", old, err))...)
			}
		}
		errs = append(errs, k.record.change(func(m *made) { m.Bridge = "" }))
	}
	return errors.Join(errs...)
}

// dropRest sets cards down that were down before us. It comes last, for it takes
// their routes along.
func (k *kernel) dropRest(p plan) error {
	var errs []error
	for _, card := range slices.Clone(k.record.made.Up) {
		if slices.Contains(p.up, card) {
			continue
		}
		if link, err := linkNamed(card); err == nil {
			if err := netlink.LinkSetDown(link); err != nil {
				errs = append(errs, fmt.Errorf("setting %s down: %w", card, err))
				continue
			}
		}
		errs = append(errs, k.record.change(func(m *made) {
			m.Up = slices.DeleteFunc(m.Up, func(c string) bool { return c == card })
		}))
	}
	return errors.Join(errs...)
}
