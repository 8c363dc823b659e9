"""An OpenNebula front-end of the tests' own: XML-RPC with the answers, delays and errors of the genuine service."""
