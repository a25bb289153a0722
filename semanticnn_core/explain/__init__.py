"""What the edge network looks at: attribution maps, and the device's table of importance."""
