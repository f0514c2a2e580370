"""Bad inputs, generated: is each refused in one line, or answered, without a traceback, a hang or a kill?"""
