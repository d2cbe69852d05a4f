package davsrv

import "encoding/xml"

// Namespaces of the protocols.
const (
	nsDAV    = "DAV:"
	nsCal    = "urn:ietf:params:xml:ns:caldav"
	nsCard   = "urn:ietf:params:xml:ns:carddav"
	nsServer = "http://calendarserver.org/ns/"
	nsApple  = "http://apple.com/ns/ical/"
	nsXML    = "http://www.w3.org/XML/1998/namespace"
	nsPIC    = "urn:x-pic:dav"
)

func dav(local string) xml.Name  { return xml.Name{Space: nsDAV, Local: local} }
func cal(local string) xml.Name  { return xml.Name{Space: nsCal, Local: local} }
func card(local string) xml.Name { return xml.Name{Space: nsCard, Local: local} }

// prefixOf is the prefix that every answer declares for a namespace.
func prefixOf(space string) string {
	switch space {
	case nsDAV:
		return "D"
	case nsCal:
		return "C"
	case nsCard:
		return "R"
	case nsServer:
		return "S"
	case nsApple:
		return "A"
	}
	return ""
}
